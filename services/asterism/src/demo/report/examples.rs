//! A few customers with everything the four services know of them, and why they have their star.

use std::fmt::Write as _;

use api::customer::v1 as customer;
use api::loyalty::v1 as loyalty;
use api::segmentation::v1 as segmentation;
use tonic::Status;

use super::money::dollars;
use super::table::stars;
use super::{PROGRAM, day, grouped, today};
use crate::demo::client::Clients;

/// One customer of each star, the first by id.
pub async fn examples(clients: &Clients) -> Result<String, Status> {
    let mut text = String::new();
    for star in (1..=5).rev() {
        let request = segmentation::ListByStarRequest {
            stars: star,
            page_size: 1,
            ..Default::default()
        };
        let page = clients
            .segmentation
            .clone()
            .list_by_star(request)
            .await?
            .into_inner();
        if let Some(rating) = page.ratings.into_iter().next() {
            text += &example(clients, rating.customer_id).await?;
        }
    }
    Ok(text)
}

async fn example(clients: &Clients, customer_id: String) -> Result<String, Status> {
    let summary = clients
        .customers
        .clone()
        .get_customer_summary(customer::GetCustomerSummaryRequest {
            customer_id: customer_id.clone(),
            ..Default::default()
        })
        .await?
        .into_inner()
        .summary
        .unwrap_or_default();
    let tier = clients
        .loyalty
        .clone()
        .get_tier(loyalty::GetTierRequest {
            program_id: PROGRAM.to_owned(),
            customer_id: customer_id.clone(),
            as_of: Some(today()),
            ..Default::default()
        })
        .await?
        .into_inner()
        .tier
        .unwrap_or_default();
    let balance = clients
        .loyalty
        .clone()
        .get_balance(loyalty::GetBalanceRequest {
            program_id: PROGRAM.to_owned(),
            customer_id: customer_id.clone(),
            as_of: Some(today()),
            ..Default::default()
        })
        .await?
        .into_inner()
        .balance
        .unwrap_or_default();
    let score = clients
        .segmentation
        .clone()
        .get_rfm(segmentation::GetRfmRequest {
            customer_id: customer_id.clone(),
            as_of: Some(today()),
            ..Default::default()
        })
        .await?
        .into_inner()
        .score
        .unwrap_or_default();
    let explanation = clients
        .segmentation
        .clone()
        .explain_rating(segmentation::ExplainRatingRequest {
            customer_id: customer_id.clone(),
            as_of: Some(today()),
            ..Default::default()
        })
        .await?
        .into_inner()
        .explanation
        .unwrap_or_default();

    let spend = summary
        .spend
        .first()
        .and_then(|spend| spend.amount.as_ref())
        .map_or(0, |m| m.micros);
    let rating = explanation.rating.unwrap_or_default();
    let mut text = String::new();
    let lines = [
        format!("{customer_id}  {}", stars(rating.stars)),
        format!(
            "  profile   {} purchases for {} dollars, first {}, last {}",
            summary.transaction_count,
            dollars(spend),
            day(summary.first_purchase_at.as_ref()),
            day(summary.last_purchase_at.as_ref()),
        ),
        format!(
            "  loyalty   {} with {} points in the window, {} available, {}",
            tier.tier,
            grouped(tier.qualifying_points),
            grouped(balance.available),
            match tier.next_tier.as_str() {
                "" => "the highest tier".to_owned(),
                next => format!("{} more for {next}", grouped(tier.points_to_next_tier)),
            },
        ),
        format!(
            "  RFM       {}{}{} ({} days since, {} purchase days, {} dollars)",
            score.recency_score,
            score.frequency_score,
            score.monetary_score,
            score.recency_days,
            score.frequency,
            score
                .monetary
                .as_ref()
                .map_or_else(|| dollars(0), |money| dollars(money.micros)),
        ),
        format!("  why       {}", explanation.text),
    ];
    for line in lines {
        writeln!(text, "{line}").expect("writing to a string does not fail");
    }
    Ok(text)
}
