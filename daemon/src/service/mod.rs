//! Running as a service: what surrounds the rooms that do the work.

pub mod logging;
