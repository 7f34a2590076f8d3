//! The lexical gate: decides from the tokens whether a source may reach minijinja's parser at all.
//!
//! minijinja has no switch for loops, assignments or string concatenation, and its parser uses stack in
//! proportion to an expression's length. This scanner follows minijinja's lexer for the default
//! delimiters step by step, so both always agree on where an expression ends; where they could differ
//! (signs in numbers, characters outside ASCII) the gate refuses.

use super::MAX_SOURCE;
use super::filters;

/// Longest expression in bytes, from opening to closing delimiter.
const MAX_EXPRESSION: usize = 1_000;
/// Most tokens of one expression.
const MAX_TOKENS: usize = 200;
/// Deepest brackets inside an expression.
const MAX_BRACKETS: usize = 16;
/// Most `if` and `elif` that are open at one place (minijinja nests an `elif` in the branch before it).
const MAX_BRANCHES: usize = 24;

/// Refuses a source for its size or its tokens.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.len() > MAX_SOURCE {
        return Err(format!(
            "must have at most 16384 bytes, has {}",
            source.len()
        ));
    }
    let mut gate = Gate {
        source: source.as_bytes(),
        at: 0,
        branches: Vec::new(),
    };
    gate.template().map_err(|(at, what)| {
        let line = 1 + source.as_bytes()[..at.min(source.len())]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("line {line}: {what}")
    })
}

/// Where and why.
type Refusal = (usize, String);

struct Gate<'a> {
    source: &'a [u8],
    at: usize,
    /// For every open `if`, itself and its `elif`s.
    branches: Vec<usize>,
}

impl<'a> Gate<'a> {
    fn template(&mut self) -> Result<(), Refusal> {
        while let Some(found) = self.source[self.at..].iter().position(|b| *b == b'{') {
            self.at += found;
            match self.source.get(self.at + 1) {
                Some(b'{') => self.variable()?,
                Some(b'%') => self.block()?,
                Some(b'#') => self.comment()?,
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn refuse<T>(&self, what: impl Into<String>) -> Result<T, Refusal> {
        Err((self.at, what.into()))
    }

    fn rest(&self) -> &'a [u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Steps over an opening delimiter and its whitespace control.
    fn open(&mut self) {
        self.at += 2;
        if matches!(self.rest().first(), Some(b'-' | b'+')) {
            self.at += 1;
        }
    }

    fn skip_whitespace(&mut self) {
        let white = self
            .rest()
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        self.at += white;
    }

    fn comment(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.open();
        match self.rest().windows(2).position(|w| w == b"#}") {
            Some(end) => {
                self.at += end + 2;
                Ok(())
            }
            None => Err((start, "a comment is not closed".to_owned())),
        }
    }

    fn variable(&mut self) -> Result<(), Refusal> {
        self.open();
        self.expression(b"}}")
    }

    fn block(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.open();
        if let Some(after) = tag(self.rest(), b"raw") {
            self.at += after;
            return self.raw(start);
        }
        self.skip_whitespace();
        match self.word() {
            b"if" => self.branches.push(1),
            b"elif" => match self.branches.last_mut() {
                Some(count) => *count += 1,
                None => return self.refuse("`elif` without `if`"),
            },
            b"else" if !self.branches.is_empty() => {}
            b"endif" if self.branches.pop().is_some() => {}
            _ => {
                return self
                    .refuse("only if, elif, else, endif, raw and endraw are allowed in {% %}");
            }
        }
        if self.branches.iter().sum::<usize>() > MAX_BRANCHES {
            return self.refuse(format!(
                "at most {MAX_BRANCHES} if and elif may be open at one place"
            ));
        }
        self.at += self.word().len();
        self.expression(b"%}")
    }

    fn raw(&mut self, start: usize) -> Result<(), Refusal> {
        while let Some(found) = self.rest().windows(2).position(|w| w == b"{%") {
            self.at += found + 2;
            let control = usize::from(matches!(self.rest().first(), Some(b'-' | b'+')));
            let rest = self.rest().get(control..).unwrap_or_default();
            if let Some(after) = tag(rest, b"endraw") {
                self.at += control + after;
                return Ok(());
            }
        }
        Err((start, "a raw block is not closed".to_owned()))
    }

    /// The identifier at this place; empty for anything else.
    fn word(&self) -> &'a [u8] {
        let rest = self.rest();
        let letters = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
            .count();
        &rest[..letters]
    }

    fn expression(&mut self, end: &[u8; 2]) -> Result<(), Refusal> {
        let start = self.at;
        let (mut brackets, mut tokens) = (0_usize, 0);
        loop {
            self.skip_whitespace();
            if brackets == 0
                && let Some(length) = closing(self.rest(), end)
            {
                self.at += length;
                return Ok(());
            }
            tokens += 1;
            if self.at - start > MAX_EXPRESSION || tokens > MAX_TOKENS {
                let what = format!(
                    "an expression may have at most {MAX_EXPRESSION} characters and {MAX_TOKENS} tokens"
                );
                return Err((start, what));
            }
            match self.rest().first().copied() {
                None => return Err((start, "an expression is not closed".to_owned())),
                Some(quote @ (b'\'' | b'"')) => self.literal(quote)?,
                Some(sign @ (b'*' | b'~' | b'+')) => {
                    return self
                        .refuse(format!("the operator {} is not allowed", char::from(sign)));
                }
                Some(b'(' | b'[' | b'{') => {
                    brackets += 1;
                    self.at += 1;
                }
                Some(b')' | b']' | b'}') => {
                    let Some(outer) = brackets.checked_sub(1) else {
                        return self.refuse("a bracket is closed that was not opened");
                    };
                    brackets = outer;
                    self.at += 1;
                }
                Some(b'|') => self.filter()?,
                Some(b) if b.is_ascii_alphanumeric() || b == b'_' => self.at += self.word().len(),
                Some(b) if b.is_ascii_punctuation() => self.at += 1,
                Some(_) => return self.refuse("only ASCII is allowed outside of quotes"),
            }
            if brackets > MAX_BRACKETS {
                return self.refuse(format!("brackets may be at most {MAX_BRACKETS} deep"));
            }
        }
    }

    fn literal(&mut self, quote: u8) -> Result<(), Refusal> {
        let start = self.at;
        let mut escaped = false;
        for (i, &b) in self.rest().iter().enumerate().skip(1) {
            match (escaped, b) {
                (false, b) if b == quote => {
                    self.at += i + 1;
                    return Ok(());
                }
                (false, b'\\') => escaped = true,
                _ => escaped = false,
            }
        }
        Err((start, "a quote is not closed".to_owned()))
    }

    /// A `|` and the name behind it.
    fn filter(&mut self) -> Result<(), Refusal> {
        self.at += 1;
        self.skip_whitespace();
        let name = std::str::from_utf8(self.word())
            .unwrap_or_default()
            .to_owned();
        if !filters::NAMES.contains(&&*name) {
            return self.refuse(format!(
                "unknown filter (known: {})",
                filters::NAMES.join(", ")
            ));
        }
        self.at += name.len();
        Ok(())
    }
}

/// Length of `name` with whitespace around it and the end of a block behind it.
fn tag(rest: &[u8], name: &[u8]) -> Option<usize> {
    let white = |from: usize| {
        let rest = rest.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
    };
    let begin = white(0);
    let end = begin + name.len();
    if rest.get(begin..end) != Some(name) {
        return None;
    }
    let end = white(end);
    closing(rest.get(end..).unwrap_or_default(), b"%}").map(|length| end + length)
}

/// Length of a closing delimiter, with whitespace control, if one is here.
fn closing(rest: &[u8], end: &[u8; 2]) -> Option<usize> {
    match rest {
        [b'-' | b'+', tail @ ..] if tail.starts_with(end) => Some(3),
        _ if rest.starts_with(end) => Some(2),
        _ => None,
    }
}
