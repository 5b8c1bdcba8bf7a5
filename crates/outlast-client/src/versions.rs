//! Which version of an API to speak with one broker: the highest that both sides know.

use outlast_protocol::messages::ApiVersionsResponse;
use outlast_protocol::{ApiKey, Request};

use crate::error::ClientError;

/// The version ranges that one broker advertised, indexed by API key.
#[derive(Clone, Debug, Default)]
pub struct ApiVersionTable {
    ranges: Vec<Option<(i16, i16)>>,
}

impl ApiVersionTable {
    pub fn from_response(response: &ApiVersionsResponse) -> Self {
        let mut table = Self::default();
        for api in &response.api_keys {
            let Ok(index) = usize::try_from(api.api_key) else {
                continue;
            };
            if table.ranges.len() <= index {
                table.ranges.resize(index + 1, None);
            }
            table.ranges[index] = Some((api.min_version, api.max_version));
        }
        table
    }

    /// What the broker serves of an API, if it serves it at all.
    pub fn range(&self, api: ApiKey) -> Option<(i16, i16)> {
        let index = usize::try_from(api.code()).ok()?;
        self.ranges.get(index).copied().flatten()
    }

    /// The highest common version, at most `cap`.
    pub fn pick<R: Request>(&self, cap: i16) -> Result<i16, ClientError> {
        let ours = R::KEY.valid_versions();
        choose((*ours.start(), *ours.end()), self.range(R::KEY), cap).ok_or_else(|| {
            ClientError::UnsupportedApi {
                api: R::KEY,
                ours: (*ours.start(), *ours.end()),
                theirs: self.range(R::KEY),
            }
        })
    }
}

fn choose(ours: (i16, i16), theirs: Option<(i16, i16)>, cap: i16) -> Option<i16> {
    let (their_min, their_max) = theirs?;
    let version = ours.1.min(their_max).min(cap);
    (version >= ours.0 && version >= their_min).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_wins() {
        const ANY: i16 = i16::MAX;
        let check = |ours, theirs, cap, expect| {
            assert_eq!(
                choose(ours, theirs, cap),
                expect,
                "{ours:?} {theirs:?} {cap}"
            );
        };
        check((3, 13), Some((0, 11)), ANY, Some(11));
        check((3, 13), Some((3, 20)), ANY, Some(13));
        check((3, 13), Some((3, 20)), 12, Some(12));
        check((3, 13), Some((0, 2)), ANY, None);
        check((3, 13), Some((14, 20)), ANY, None);
        check((3, 13), Some((13, 20)), 12, None);
        check((3, 13), None, ANY, None);
    }
}
