"""From metric files to tables, figures and one page."""
