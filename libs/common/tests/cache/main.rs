//! The cache against private Redis servers, with a pretend database behind it.

mod batch;
mod cluster;
mod encrypted;
mod levels;
mod outage;
mod proxy;
mod race;
mod sharing;
mod support;
mod writers;
