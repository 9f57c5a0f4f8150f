//! loyalty-points
