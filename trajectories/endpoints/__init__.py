"""Rule-based endpoints: what is counted before anything is modelled."""
