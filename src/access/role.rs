//! Roles, scopes, and the one table that joins them.

use std::fmt;
use std::str::FromStr;

/// What a key is for. Roles are not ranks: each opens what its row of the table says and nothing else.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads reports.
    Viewer,
    /// Reads reports, journeys and conversions.
    Analyst,
    /// Writes events.
    Ingestor,
    /// Looks after the running system.
    Operator,
    /// Looks after keys.
    Admin,
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reading sums that name nobody.
    Reports,
    /// Reading journeys and conversions of single users.
    Journeys,
    /// Writing events.
    WriteEvents,
    /// Status and control.
    Control,
    /// Making and revoking keys.
    Keys,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Reports, Self::Journeys, Self::WriteEvents, Self::Control, Self::Keys];

    /// The scope's name in messages and in the OpenAPI document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Journeys => "journeys",
            Self::WriteEvents => "write_events",
            Self::Control => "control",
            Self::Keys => "keys",
        }
    }
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Analyst, Self::Ingestor, Self::Operator, Self::Admin];

    /// The table: what a role opens.
    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Viewer => &[Scope::Reports],
            Self::Analyst => &[Scope::Reports, Scope::Journeys],
            Self::Ingestor => &[Scope::WriteEvents],
            Self::Operator => &[Scope::Control],
            Self::Admin => &[Scope::Keys],
        }
    }

    /// Whether the role opens what a route asks for.
    pub fn opens(self, scope: Scope) -> bool {
        self.scopes().contains(&scope)
    }

    /// The role's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Ingestor => "ingestor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no role's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no role is named {0:?}; there are viewer, analyst, ingestor, operator, admin")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| UnknownRole(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_it_says() {
        let opened = |scope| Role::ALL.into_iter().filter(|r| r.opens(scope)).map(Role::name).collect::<Vec<_>>();
        assert_eq!(opened(Scope::Reports), ["viewer", "analyst"]);
        assert_eq!(opened(Scope::Journeys), ["analyst"]);
        assert_eq!(opened(Scope::WriteEvents), ["ingestor"]);
        assert_eq!(opened(Scope::Control), ["operator"]);
        assert_eq!(opened(Scope::Keys), ["admin"]);
    }

    #[test]
    fn names_go_both_ways() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
