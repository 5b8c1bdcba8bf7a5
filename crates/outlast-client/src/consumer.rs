//! x
#[derive(Debug)]
pub struct Consumer;
