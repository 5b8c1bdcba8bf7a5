//! Which cluster a command talks to, and what to tell a person whose cluster doesn't answer.

use clap::Args;
use outlast_client::{Client, ClientConfig, ClientError};
use outlast_protocol::ErrorCode;

#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Brokers to ask first: host:port, several separated by commas
    #[arg(
        short,
        long,
        env = "OUTLAST_BOOTSTRAP",
        default_value = "localhost:9092",
        value_name = "HOST:PORT,…",
        hide_env_values = true,
        display_order = 900,
        global = true
    )]
    pub bootstrap: String,
}

impl TargetArgs {
    pub fn config(&self, purpose: &str) -> anyhow::Result<ClientConfig> {
        Ok(ClientConfig::new(&self.bootstrap)?.client_id(format!("outlast-{purpose}")))
    }

    pub async fn connect(&self, purpose: &str) -> anyhow::Result<Client> {
        Ok(Client::connect(self.config(purpose)?).await?)
    }
}

/// Adds the next step to errors that have an obvious one.
pub fn with_advice(error: anyhow::Error) -> anyhow::Error {
    let Some(client_error) = error.downcast_ref::<ClientError>() else {
        return error;
    };
    let advice = match client_error {
        ClientError::Unreachable(_) => {
            "start a broker with: outlast serve\n  or name another one with --bootstrap HOST:PORT (or OUTLAST_BOOTSTRAP)"
                .to_owned()
        }
        ClientError::UnknownTopic(topic) => format!("create it with: outlast topic create {topic}"),
        ClientError::Malformed { .. } => {
            "is it a Kafka broker? TLS listeners are not supported yet".to_owned()
        }
        ClientError::Broker { code, .. } => match code {
            ErrorCode::MessageTooLarge => {
                "allow more with: outlast topic alter TOPIC --config max.message.bytes=N".to_owned()
            }
            ErrorCode::GroupIdNotFound => "see the groups with: outlast group list".to_owned(),
            ErrorCode::NonEmptyGroup => "stop its members first".to_owned(),
            ErrorCode::InconsistentGroupProtocol => {
                "the group's members assign partitions in another way; try with or without --cooperative"
                    .to_owned()
            }
            _ => return error,
        },
        _ => return error,
    };
    anyhow::anyhow!("{error:#}\n  {advice}")
}
