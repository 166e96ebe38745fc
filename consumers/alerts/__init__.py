"""Alerts: rules of one TOML file, watched over the record, told to targets (consumers/out/)."""
