//! The queue API, seen through HTTP. Every answer is held against the OpenAPI document.

mod api;
mod dead_letters;
mod lifecycle;
mod messages;
mod numbers;
mod problems;
mod restart;
mod workers;
