"""What is wrong with an experiment, what it will cost, and who is in its cohort."""
