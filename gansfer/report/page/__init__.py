"""The report's page: sections made from tables and figures."""
