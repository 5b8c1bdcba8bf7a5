//! Patterns for keys and header values: `*` stands for any bytes, `?` for one, everything else for itself.

/// Matches a whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(pattern: &str) -> Pattern {
        Pattern(pattern.into())
    }

    pub fn matches(&self, value: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut v) = (0, 0);
        // Where to go back to: the last star, and how much of the value it has taken.
        let mut star: Option<(usize, usize)> = None;
        while v < value.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, v));
                    p += 1;
                }
                Some(&byte) if byte == b'?' || byte == value[v] => {
                    p += 1;
                    v += 1;
                }
                _ => match &mut star {
                    Some((at, taken)) => {
                        *taken += 1;
                        p = *at + 1;
                        v = *taken;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value() {
        for (pattern, value, expect) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a?", "ab", true),
            ("a?", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("order-*", "order-7", true),
            ("order-*", "an order-7", false),
            ("*-7", "order-7", true),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(value.as_bytes()),
                expect,
                "{pattern} {value}"
            );
        }
    }
}
