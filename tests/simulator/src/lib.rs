//! The six providers, spoken faithfully, with faults on demand.
