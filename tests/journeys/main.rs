//! Journeys across the four services, each a process of its own, on PostgreSQL and Redis, with
//! authentication on.

mod access;
mod cdnow;
mod check;
mod merge;
mod operations;
mod suite;
mod trace;
