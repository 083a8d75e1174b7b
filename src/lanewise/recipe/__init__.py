"""The recipe as data: its fields, its ranges, the expression language and the YAML file."""
