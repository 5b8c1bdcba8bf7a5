//! Share groups as such, for those who work on their queues without being members.

use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};

use crate::broker::Broker;
use crate::error::ApiError;

impl Broker {
    /// Makes sure that there is a share group of this name, with or without members. GROUP_ID_NOT_FOUND, as Kafka says,
    /// when the name is taken by a group of another kind.
    pub async fn create_share_group(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        let groups = self.groups().await?;
        match groups.create_share_group(&Str::from(name)).await {
            Err(ErrorCode::GroupIdNotFound) => Err(ApiError::new(
                ErrorCode::GroupIdNotFound,
                format!("the name {name} is taken by a group that is not a share group"),
            )),
            created => Ok(created?),
        }
    }

    /// Forgets a share group without members. Its queues go first: a group that has lost them is whole, and can be deleted
    /// again.
    pub async fn delete_share_group(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        let name = Str::from(name);
        let groups = self.groups().await?;
        groups.check_share_group_empty(&name).await?;
        if let Some(queues) = self.opened_queues() {
            queues.delete_group(&name).await?;
        }
        match groups.delete_share_group(&name).await {
            ErrorCode::None => Ok(()),
            code => Err(code.into()),
        }
    }
}
