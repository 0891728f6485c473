"""The operator, the local super cluster and the command line."""
