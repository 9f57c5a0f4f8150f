//! This service's settings.

use common::money::Currency;

/// Settings of the segmentation service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "segmentation")]
pub struct Config {
    /// Currency of the customer base; transactions in another are counted as ignored and rated nowhere.
    #[arg(long, env = "ASTERISM_SEGMENTATION_CURRENCY", default_value = "USD", value_parser = Currency::parse)]
    pub segmentation_currency: Currency,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segmentation_currency: Currency::parse("USD").expect("three upper-case letters"),
        }
    }
}
