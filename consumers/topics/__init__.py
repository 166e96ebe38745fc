"""Topics: recurring pain points beyond the closed list of themes, and spikes of both."""
