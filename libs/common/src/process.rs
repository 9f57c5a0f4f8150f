//! The main function of a service.
