//! What the shoppers of the demo meet: channels and campaigns, and what they buy.

/// A channel, and how likely it is at which stage of a journey.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// Its name.
    pub name: &'static str,
    /// What the contact is.
    pub interaction: &'static str,
    /// UTM sources.
    pub sources: &'static [&'static str],
    /// UTM medium; empty for none.
    pub medium: &'static str,
    /// Campaigns; empty for none.
    pub campaigns: &'static [&'static str],
    /// Weight as the first contact.
    pub opens: u64,
    /// Weight between.
    pub follows: u64,
    /// Weight as the last contact of a journey.
    pub closes: u64,
    /// Least and greatest cost of one contact, in micros; 0 for a contact that costs nothing.
    pub cost: (u64, u64),
}

/// Every channel. Some open journeys and some close them, which is what attribution models disagree about.
pub const CHANNELS: [Channel; 9] = [
    Channel {
        name: "paid_search",
        interaction: "click",
        sources: &["google", "bing"],
        medium: "cpc",
        campaigns: &["brand", "generic-shoes", "competitors", "autumn-sale"],
        opens: 16,
        follows: 15,
        closes: 24,
        cost: (120_000, 3_400_000),
    },
    Channel {
        name: "organic_search",
        interaction: "visit",
        sources: &["google", "bing", "duckduckgo"],
        medium: "organic",
        campaigns: &[],
        opens: 18,
        follows: 14,
        closes: 12,
        cost: (0, 0),
    },
    Channel {
        name: "email",
        interaction: "click",
        sources: &["newsletter", "crm"],
        medium: "email",
        campaigns: &["welcome", "abandoned-cart", "weekly", "loyalty"],
        opens: 3,
        follows: 18,
        closes: 20,
        cost: (0, 0),
    },
    Channel {
        name: "social",
        interaction: "click",
        sources: &["instagram", "facebook", "tiktok"],
        medium: "paid_social",
        campaigns: &["lookbook", "creators", "retargeting"],
        opens: 22,
        follows: 16,
        closes: 8,
        cost: (60_000, 900_000),
    },
    Channel {
        name: "display",
        interaction: "view",
        sources: &["dv360", "criteo"],
        medium: "display",
        campaigns: &["awareness", "retargeting"],
        opens: 18,
        follows: 14,
        closes: 3,
        cost: (2_000, 30_000),
    },
    Channel {
        name: "affiliate",
        interaction: "click",
        sources: &["awin", "coupons-daily"],
        medium: "affiliate",
        campaigns: &["cashback", "coupons"],
        opens: 4,
        follows: 5,
        closes: 11,
        cost: (200_000, 2_500_000),
    },
    Channel {
        name: "referral",
        interaction: "visit",
        sources: &["blog.example", "forum.example"],
        medium: "referral",
        campaigns: &[],
        opens: 7,
        follows: 5,
        closes: 3,
        cost: (0, 0),
    },
    Channel {
        name: "direct",
        interaction: "visit",
        sources: &[],
        medium: "",
        campaigns: &[],
        opens: 4,
        follows: 10,
        closes: 18,
        cost: (0, 0),
    },
    Channel {
        name: "video",
        interaction: "view",
        sources: &["youtube", "twitch"],
        medium: "video",
        campaigns: &["brand-film", "how-to"],
        opens: 12,
        follows: 7,
        closes: 1,
        cost: (10_000, 90_000),
    },
];

/// Something to convert to.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The conversion's kind.
    pub kind: &'static str,
    /// How likely it is.
    pub weight: u64,
    /// Least and greatest value, in cents; none has no value at all.
    pub cents: Option<(u64, u64)>,
}

/// Every goal.
pub const GOALS: [Goal; 3] = [
    Goal { kind: "purchase", weight: 80, cents: Some((490, 64_000)) },
    Goal { kind: "signup", weight: 12, cents: None },
    Goal { kind: "subscription", weight: 8, cents: Some((999, 9_900)) },
];

/// Currencies by weight.
pub const CURRENCIES: [(&str, u64); 3] = [("EUR", 70), ("USD", 20), ("GBP", 10)];
