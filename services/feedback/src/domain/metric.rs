//! NPS and CSAT with their confidence intervals. Without responses there is no value, never a 0.

use super::survey::SurveyType;

/// How sure an interval is to hold the true value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confidence {
    /// 90 %.
    P90,
    /// 95 %.
    #[default]
    P95,
    /// 99 %.
    P99,
}

impl Confidence {
    /// The two-sided quantile of the normal distribution.
    fn z(self) -> f64 {
        match self {
            Self::P90 => 1.644_853_626_951_472_2,
            Self::P95 => 1.959_963_984_540_054,
            Self::P99 => 2.575_829_303_548_900_4,
        }
    }
}

/// A value with its interval: NPS points, or per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Answers to an NPS survey by group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NpsGroups {
    /// 9 and 10.
    pub promoters: i64,
    /// 7 and 8.
    pub passives: i64,
    /// 0 to 6.
    pub detractors: i64,
}

impl NpsGroups {
    /// The score with its adjusted Wald interval: three answers are added, three quarters of one to
    /// each end, which keeps the interval honest for few or one-sided answers.
    pub fn estimate(self, confidence: Confidence) -> Option<Estimate> {
        let n = self.promoters + self.passives + self.detractors;
        if n == 0 {
            return None;
        }
        let adjusted = n as f64 + 3.0;
        let p = (self.promoters as f64 + 0.75) / adjusted;
        let d = (self.detractors as f64 + 0.75) / adjusted;
        let middle = p - d;
        let half = confidence.z() * ((p + d - middle * middle) / adjusted).sqrt();
        Some(Estimate {
            value: 100.0 * (self.promoters - self.detractors) as f64 / n as f64,
            low: (100.0 * (middle - half)).max(-100.0),
            high: (100.0 * (middle + half)).min(100.0),
        })
    }
}

/// Answers to a CSAT survey by group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsatGroups {
    /// 4 and 5.
    pub satisfied: i64,
    /// 1 to 3.
    pub not_satisfied: i64,
}

impl CsatGroups {
    /// The share of satisfied answers with its Wilson interval, in per cent.
    pub fn estimate(self, confidence: Confidence) -> Option<Estimate> {
        let responses = self.satisfied + self.not_satisfied;
        if responses == 0 {
            return None;
        }
        let (n, z) = (responses as f64, confidence.z());
        let share = self.satisfied as f64 / n;
        let middle = share + z * z / (2.0 * n);
        let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        // At the edges the formula gives the edge itself but for rounding.
        let low = if self.satisfied == 0 {
            0.0
        } else {
            100.0 * (middle - half) / scale
        };
        let high = if self.not_satisfied == 0 {
            100.0
        } else {
            100.0 * (middle + half) / scale
        };
        Some(Estimate {
            value: 100.0 * share,
            low,
            high,
        })
    }
}

/// Answers by group, for either type of survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// Of an NPS survey.
    Nps(NpsGroups),
    /// Of a CSAT survey.
    Csat(CsatGroups),
}

impl Groups {
    /// The value and its interval; `None` without responses.
    pub fn estimate(self, confidence: Confidence) -> Option<Estimate> {
        match self {
            Self::Nps(groups) => groups.estimate(confidence),
            Self::Csat(groups) => groups.estimate(confidence),
        }
    }
}

/// How many responses gave a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreCount {
    /// The score.
    pub score: i32,
    /// Responses with it.
    pub responses: i64,
}

/// Responses by score: an entry for each score of the survey's type, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    survey: SurveyType,
    scores: Vec<ScoreCount>,
}

impl Tally {
    /// Adds counts up; several counts of one score add to each other, scores the type does not know
    /// are left out.
    pub fn new(survey: SurveyType, counts: &[ScoreCount]) -> Self {
        let of = |score| {
            counts
                .iter()
                .filter(|c| c.score == score)
                .map(|c| c.responses)
                .sum()
        };
        let scores = survey.scores().map(|score| ScoreCount {
            score,
            responses: of(score),
        });
        Self {
            survey,
            scores: scores.collect(),
        }
    }

    /// Responses by score.
    pub fn scores(&self) -> &[ScoreCount] {
        &self.scores
    }

    /// All responses.
    pub fn responses(&self) -> i64 {
        self.within(i32::MIN, i32::MAX)
    }

    /// Responses by group.
    pub fn groups(&self) -> Groups {
        match self.survey {
            SurveyType::Nps => Groups::Nps(NpsGroups {
                promoters: self.within(9, 10),
                passives: self.within(7, 8),
                detractors: self.within(0, 6),
            }),
            SurveyType::Csat => Groups::Csat(CsatGroups {
                satisfied: self.within(4, 5),
                not_satisfied: self.within(1, 3),
            }),
        }
    }

    fn within(&self, first: i32, last: i32) -> i64 {
        let inside = self
            .scores
            .iter()
            .filter(|count| (first..=last).contains(&count.score));
        inside.map(|count| count.responses).sum()
    }
}

#[cfg(test)]
mod tests;
