"""Writes every page that is made from the code: `make reference`."""

from tools.reference import configuration, metrics, schema

for source in (configuration, metrics, schema):
    source.PAGE.write_text(source.page())
    print(f"wrote {source.PAGE}")
