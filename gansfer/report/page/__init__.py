"""The report's page: sections with tables and figures."""
