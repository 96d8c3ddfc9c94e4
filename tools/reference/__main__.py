"""Writes every page that is made from the code: `make reference`."""

from tools.reference import api, cli, configuration, metrics, report_fields, report_page, schema

for source in (configuration, metrics, schema, report_fields, report_page, api, cli):
    source.PAGE.write_text(source.page())
    print(f"wrote {source.PAGE}")
