//! Deciding what is sent next, by whom, and when: the pure half of dispatch.
