"""Flower's options, which `celery -A tasks flower` reads in this folder. https://flower.readthedocs.io/en/latest/config.html

An option on the command line goes before. So does FLOWER_<OPTION> in the environment, which has to be asked for here:
Flower itself lets this file win.
"""

import os

from monitoring.flower_newcomers import ask_newcomers

address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")  # Flower's own default is every network
max_tasks = int(os.environ.get("FLOWER_MAX_TASKS", "10000"))  # kept in memory; of 1,000 symbols, some minutes
purge_offline_workers = int(os.environ.get("FLOWER_PURGE_OFFLINE_WORKERS", "3600"))  # s; nodes that do not come back
tasks_columns = os.environ.get("FLOWER_TASKS_COLUMNS", "name,args,worker,state,runtime,received,uuid")

ask_newcomers()
