//! Calls to try next, ready to be pasted.

use std::net::SocketAddr;

/// Lines that work against the demo as it serves.
pub fn text(api: SocketAddr, ops: SocketAddr) -> String {
    format!(
        r#"Try it (the server stays until Ctrl-C):

  grpcurl -plaintext {api} list
  grpcurl -plaintext -d '{{"customer_id":"cdnow-0001"}}' {api} asterism.customer.v1.CustomerProfileService/GetCustomerSummary
  grpcurl -plaintext -d '{{"program_id":"default","customer_id":"cdnow-0001"}}' {api} asterism.loyalty.v1.LoyaltyService/GetTier
  grpcurl -plaintext -d '{{"customer_id":"cdnow-0001"}}' {api} asterism.segmentation.v1.SegmentationService/ExplainRating
  grpcurl -plaintext -d '{{"program_id":"default","customer_id":"cdnow-0001","points":5,"reason":"a try","request_id":"try-1"}}' {api} asterism.loyalty.v1.LoyaltyService/RedeemPoints
  ghz --insecure --call asterism.loyalty.v1.LoyaltyService/GetTier -d '{{"program_id":"default","customer_id":"cdnow-0001"}}' -n 20000 -c 50 {api}
  curl -s http://{ops}/metrics
"#
    )
}
