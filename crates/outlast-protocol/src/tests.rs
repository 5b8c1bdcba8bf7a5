//! Tests over all messages at once; what belongs to one module is tested there.

mod oracle;
