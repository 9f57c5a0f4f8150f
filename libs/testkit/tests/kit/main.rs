//! The kit keeps its promises: what other tests rely on is tested here.

mod servers;
mod services;
