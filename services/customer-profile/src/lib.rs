//! customer-profile
