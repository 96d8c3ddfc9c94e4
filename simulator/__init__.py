"""A local exchange that speaks Binance spot's public protocol: WebSocket streams and REST on one port.

python -m simulator --port 9443 --symbols BTCUSDT,ETHUSDT --seed 1
python -m simulator --symbols 1000
"""
