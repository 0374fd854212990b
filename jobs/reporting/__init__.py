"""What the report is built from: the products that are there, collected."""
