//! Go templates to ours: the part that surely gives the same bytes. Everything else is refused with its reason.

/// What a template becomes, or why it does not.
pub(super) fn translate(source: &str) -> Result<String, String> {
    let mut out = String::new();
    let (mut rest, mut trim_next, mut open) = (source, false, Vec::new());
    while let Some(begin) = rest.find("{{") {
        let (literal, tail) = rest.split_at(begin);
        let (action, behind, trims) = action(&tail[2..])?;
        let literal = if trim_next {
            literal.trim_start()
        } else {
            literal
        };
        let literal = if trims.0 { literal.trim_end() } else { literal };
        text(&mut out, literal)?;
        translate_action(&mut out, action, &mut open)?;
        (rest, trim_next) = (behind, trims.1);
    }
    text(&mut out, if trim_next { rest.trim_start() } else { rest })?;
    match open.is_empty() {
        true => Ok(out),
        false => Err("`if` without `end`".to_owned()),
    }
}

/// The text of an action, what stands behind it, and whether it trims before and behind.
fn action(tail: &str) -> Result<(&str, &str, (bool, bool)), String> {
    let blank = |c: char| c.is_ascii_whitespace();
    let before = tail.starts_with('-') && tail[1..].starts_with(blank);
    let tail = if before { &tail[1..] } else { tail };
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in tail.char_indices() {
        match quote {
            Some(open) => {
                let ends = c == open && !escaped;
                escaped = open == '"' && c == '\\' && !escaped;
                quote = quote.filter(|_| !ends);
            }
            None if c == '"' || c == '`' => quote = Some(c),
            None if tail[at..].starts_with("}}") => {
                let (inner, behind) = (&tail[..at], &tail[at + 2..]);
                let after = inner.strip_suffix('-').filter(|left| left.ends_with(blank));
                let inner = after.unwrap_or(inner).trim();
                return Ok((inner, behind, (before, after.is_some())));
            }
            None => {}
        }
    }
    Err("an action that is not closed".to_owned())
}

/// Literal text; what would be syntax of ours is kept raw.
fn text(out: &mut String, literal: &str) -> Result<(), String> {
    if literal.contains("endraw") {
        return Err("the text `endraw`".to_owned());
    }
    match ["{%", "{#", "{{"]
        .iter()
        .any(|syntax| literal.contains(syntax))
        || literal.ends_with('{')
    {
        true => out.extend(["{% raw %}", literal, "{% endraw %}"]),
        false => out.push_str(literal),
    }
    Ok(())
}

fn translate_action(out: &mut String, action: &str, open: &mut Vec<bool>) -> Result<(), String> {
    if action.starts_with("/*") && action.ends_with("*/") {
        return Ok(());
    }
    let tokens = tokens(action)?;
    match tokens.first() {
        Some(Token::Word("if")) => match &tokens[1..] {
            [condition @ Token::Field(_)] => {
                open.push(false);
                out.extend(["{% if ", &operand(std::slice::from_ref(condition))?, " %}"]);
            }
            _ => return Err("a condition that is not one value".to_owned()),
        },
        Some(Token::Word("else")) if tokens.len() == 1 && open.last() == Some(&false) => {
            open.pop();
            open.push(true);
            out.push_str("{% else %}");
        }
        Some(Token::Word("end")) if tokens.len() == 1 && !open.is_empty() => {
            open.pop();
            out.push_str("{% endif %}");
        }
        _ => out.extend(["{{ ", &pipeline(&tokens)?, " }}"]),
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    /// `.name`
    Field(&'a str),
    Word(&'a str),
    /// `.` alone.
    Dot,
    Text(String),
    Pipe,
}

fn tokens(action: &str) -> Result<Vec<Token<'_>>, String> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut rest) = (Vec::new(), action.trim_start());
    while let Some(first) = rest.chars().next() {
        let of = |text: &str| text.find(|c| !word(c)).unwrap_or(text.len());
        let length = match first {
            '|' => {
                tokens.push(Token::Pipe);
                1
            }
            '.' => {
                let end = of(&rest[1..]);
                tokens.push(match end {
                    0 => Token::Dot,
                    end => Token::Field(&rest[1..=end]),
                });
                if rest[1 + end..].starts_with('.') {
                    return Err("a field of a field".to_owned());
                }
                1 + end
            }
            '`' => {
                let text = rest[1..].split_once('`').map_or("", |(text, _)| text);
                tokens.push(Token::Text(text.to_owned()));
                text.len() + 2
            }
            '"' => {
                let (text, length) = quoted(&rest[1..])?;
                tokens.push(Token::Text(text));
                length + 1
            }
            c if word(c) => {
                let end = of(rest);
                tokens.push(Token::Word(&rest[..end]));
                end
            }
            '$' => return Err("a variable".to_owned()),
            '(' => return Err("brackets".to_owned()),
            _ => return Err("syntax that is not carried".to_owned()),
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A Go string behind its first quote: its text, and its length with the last quote.
fn quoted(rest: &str) -> Result<(String, usize), String> {
    let (mut text, mut escaped) = (String::new(), false);
    for (at, c) in rest.char_indices() {
        match (escaped, c) {
            (false, '"') => return Ok((text, at + 1)),
            (false, '\\') => escaped = true,
            (true, c) => {
                text.push(match c {
                    'n' => '\n',
                    't' => '\t',
                    '"' | '\\' => c,
                    _ => return Err("an escape in quotes".to_owned()),
                });
                escaped = false;
            }
            (false, c) => text.push(c),
        }
    }
    Err("a quote that is not closed".to_owned())
}

fn pipeline(tokens: &[Token<'_>]) -> Result<String, String> {
    let mut stages = tokens.split(|token| *token == Token::Pipe);
    let mut out = operand(stages.next().unwrap_or_default())?;
    for stage in stages {
        let Some((Token::Word(name), arguments)) = stage.split_first() else {
            return Err("a pipe into something that is no function".to_owned());
        };
        out.push_str(&filter(name, arguments)?);
    }
    Ok(out)
}

/// `.name`, `index . "name"`, `"text"`, and functions that are called without a pipe.
fn operand(tokens: &[Token<'_>]) -> Result<String, String> {
    match tokens {
        [Token::Field(name)] => Ok(value(name)),
        [Token::Text(text)] => Ok(literal(text)),
        [Token::Word("index"), Token::Dot, Token::Text(name)] => Ok(value(name)),
        [
            Token::Word(name),
            arguments @ ..,
            last @ (Token::Field(_) | Token::Text(_)),
        ] => {
            let inner = operand(std::slice::from_ref(last))?;
            Ok(format!("{inner}{}", filter(name, arguments)?))
        }
        [Token::Dot] => Err("all values at once".to_owned()),
        [Token::Word(name), ..] => Err(format!("`{name}`")),
        _ => Err("an expression that is not carried".to_owned()),
    }
}

/// Functions that do the same as a filter, on every text.
fn filter(name: &str, arguments: &[Token<'_>]) -> Result<String, String> {
    let plain = match name {
        "toString" => "",
        "b64enc" => " | b64encode",
        "b64dec" => " | b64decode",
        "upper" => " | upper",
        "lower" => " | lower",
        "trim" => " | trim",
        "replace" => {
            return match arguments {
                [Token::Text(from), Token::Text(to)] if !from.is_empty() => {
                    Ok(format!(" | replace({}, {})", literal(from), literal(to)))
                }
                _ => Err("`replace` with other arguments than two texts".to_owned()),
            };
        }
        _ => return Err(format!("the function `{name}`")),
    };
    match arguments.is_empty() {
        true => Ok(plain.to_owned()),
        false => Err(format!("`{name}` with arguments")),
    }
}

/// Words that are no names in our templates.
const RESERVED: [&str; 14] = [
    "values", "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is",
    "if", "else",
];

/// A fetched key.
fn value(name: &str) -> String {
    let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = name.chars().all(identifier)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !RESERVED.contains(&name);
    match plain {
        true => name.to_owned(),
        false => format!("values[{}]", literal(name)),
    }
}

fn literal(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::core::template::render;

    fn rendered(source: &str) -> String {
        let data = [
            ("user", "ann"),
            ("password", "p@ss/word"),
            ("encoded", "aGkh"),
            ("redis-password", " r "),
            ("values", "v"),
            ("empty", ""),
        ];
        let data: BTreeMap<_, _> = data
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned().into()))
            .collect();
        let value = render(&translate(source).unwrap(), &Arc::new(data)).unwrap();
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_translated_gives_the_same_bytes() {
        for (source, expected) in [
            ("plain\ntext\n", "plain\ntext\n"),
            ("{{ .user }}:{{.password}}", "ann:p@ss/word"),
            ("{{ .password | toString }}", "p@ss/word"),
            ("{{ .password | b64enc }}", "cEBzcy93b3Jk"),
            ("{{ .encoded | b64dec | upper }}", "HI!"),
            ("{{ b64enc .user }}", "YW5u"),
            ("{{ index . \"redis-password\" | trim }}", "r"),
            ("{{ .values }}", "v"),
            ("{{ .user | replace \"a\" \"'\\\\\" }}", "'\\nn"),
            ("{{ `x\"y` }}", "x\"y"),
            ("a \n {{- .user -}} \n b", "aannb"),
            ("a {{/* said */}}b", "a b"),
            ("{% x %} {# y #} {", "{% x %} {# y #} {"),
            (
                "{{ if .empty }}yes{{ else }}no{{ end }}{{ if .user }}!{{ end }}",
                "no!",
            ),
        ] {
            assert_eq!(rendered(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_not_is_named() {
        for (source, why) in [
            ("{{ .a | quote }}", "`quote`"),
            ("{{ printf \"%s\" .a }}", "`printf`"),
            ("{{ range $k, $v := . }}{{ end }}", "a variable"),
            ("{{ (.a | fromJson).b }}", "brackets"),
            ("{{ .a.b }}", "a field of a field"),
            ("{{ . }}", "all values at once"),
            ("{{ if eq .a \"b\" }}x{{ end }}", "a condition"),
            ("{{ if .a }}x", "without `end`"),
            ("{{ .a", "not closed"),
            ("{{ .a | default \"x\" }}", "`default`"),
            ("{{ .a | replace \"\" \"x\" }}", "`replace`"),
            ("{{ $x }}", "a variable"),
            ("{{ now }}", "`now`"),
        ] {
            let told = translate(source).unwrap_err();
            assert!(told.contains(why), "{source}: {told}");
        }
    }
}
