//! A YAML document as a tree that knows its lines, within bounds: size, depth, and what aliases make of it.

use super::FileError;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Largest file that is read, in bytes: what a Kubernetes ConfigMap can hold.
pub const MOST_BYTES: usize = 1 << 20;
/// Most values of a document, those that aliases stand for counted each time.
const MOST_VALUES: u64 = 100_000;
/// Deepest nesting; the files need six levels.
const MOST_DEPTH: usize = 32;

/// One value.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) line: u64,
    /// What it is.
    pub(crate) value: Value,
    /// How many values it is, itself among them.
    size: u64,
}

#[derive(Debug)]
pub(crate) enum Value {
    Scalar {
        text: String,
        /// Without quotes: it may be a number, a boolean or null.
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<(Key, Rc<Node>)>),
}

/// The name of a field, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) line: u64,
    /// `<<` without quotes: what is under it is merged.
    merges: bool,
}

/// Reads the one document of a text; none where it is empty.
pub(crate) fn read(text: &str) -> Result<Option<Rc<Node>>, FileError> {
    if text.len() > MOST_BYTES {
        return Err(FileError::whole(format!("it has {} bytes, more than {MOST_BYTES}", text.len())));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_fault(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.root)
}

fn scan_fault(error: &ScanError) -> FileError {
    let (line, why) = (line_of(error.marker().line()), error.info());
    let why = if why.contains("recursion limit") {
        format!("values are nested deeper than {MOST_DEPTH} levels")
    } else {
        format!("this is not valid YAML: {why}")
    };
    FileError { line: Some(line), field: String::new(), why }
}

fn line_of(line: usize) -> u64 {
    u64::try_from(line).unwrap_or(u64::MAX)
}

/// A list or a map that is still open.
struct Open {
    line: u64,
    anchor: usize,
    size: u64,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<(Key, Rc<Node>)>, seen: BTreeSet<String>, key: Option<Key>, merged: Vec<Rc<Node>> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: u32,
    values: u64,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), FileError> {
        let line = line_of(span.start.line());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    Err(self.fault(line, "a second document begins here".to_owned()))
                } else {
                    Ok(())
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_ref(), line)?;
                let value = Value::Scalar { text: text.into_owned(), plain };
                self.add(Rc::new(Node { line, value, size: 1 }), anchor, 1)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node =
                    known.ok_or_else(|| self.fault(line, "an alias refers to a value that contains it".to_owned()))?;
                let size = node.size;
                self.add(node, 0, size)
            }
            Event::SequenceStart(anchor, tag) => self.begin(line, anchor, tag.as_ref(), Content::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let (entries, merged) = (Vec::new(), Vec::new());
                let content = Content::Map { entries, seen: BTreeSet::new(), key: None, merged };
                self.begin(line, anchor, tag.as_ref(), content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    /// The place in words: `mig-configs.lab[0].mig-devices`.
    fn field(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.content {
                Content::List(items) => path.push_str(&format!("[{}]", items.len())),
                Content::Map { key: Some(key), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&super::shown(&key.text));
                }
                Content::Map { key: None, .. } => {}
            }
        }
        path
    }

    fn fault(&self, line: u64, why: String) -> FileError {
        FileError { line: Some(line), field: self.field(), why }
    }

    fn is_plain(&self, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>, line: u64) -> Result<bool, FileError> {
        let plain = matches!(style, ScalarStyle::Plain);
        let Some(tag) = tag else { return Ok(plain) };
        match tag.suffix.as_str() {
            "str" if tag.is_yaml_core_schema() => Ok(false),
            "int" | "bool" | "null" | "float" if tag.is_yaml_core_schema() => Ok(true),
            "!" if tag.handle.is_empty() => Ok(false),
            _ => Err(self.fault(line, format!("the tag {} is not allowed here", super::shown(&tag.to_string())))),
        }
    }

    fn begin(
        &mut self,
        line: u64,
        anchor: usize,
        tag: Option<&Cow<'_, Tag>>,
        content: Content,
    ) -> Result<(), FileError> {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            return Err(self.fault(line, format!("the tag {} is not allowed here", super::shown(&tag.to_string()))));
        }
        if self.open.len() >= MOST_DEPTH {
            return Err(self.fault(line, format!("values are nested deeper than {MOST_DEPTH} levels")));
        }
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(self.fault(line, "the name of a field is a list or a map".to_owned()));
        }
        self.open.push(Open { line, anchor, size: 1, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), FileError> {
        let Some(Open { line, anchor, size, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { mut entries, mut seen, merged, .. } => {
                for other in &merged {
                    self.merge(other, &mut entries, &mut seen)?;
                }
                Value::Map(entries)
            }
        };
        // What is in it has been counted already.
        self.add(Rc::new(Node { line, value, size }), anchor, 1)
    }

    /// `<<`: the fields of another map that are not set here.
    fn merge(&self, other: &Node, to: &mut Vec<(Key, Rc<Node>)>, seen: &mut BTreeSet<String>) -> Result<(), FileError> {
        match &other.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if seen.insert(key.text.clone()) {
                        to.push((key.clone(), Rc::clone(node)));
                    }
                }
                Ok(())
            }
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                items.iter().try_for_each(|item| self.merge(item, to, seen))
            }
            Value::Scalar { .. } | Value::List(_) => {
                Err(self.fault(other.line, "<< merges a map, or a list of maps".to_owned()))
            }
        }
    }

    /// Adds a value to what is open; `new` is how many values it adds to those of the document.
    fn add(&mut self, node: Rc<Node>, anchor: usize, new: u64) -> Result<(), FileError> {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.values = self.values.saturating_add(new);
        if self.values > MOST_VALUES {
            let what = if new > 1 { "with its aliases the file" } else { "the file" };
            return Err(self.fault(node.line, format!("{what} has more than {MOST_VALUES} values")));
        }
        let line = node.line;
        let field = self.field();
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => {
                open.size = open.size.saturating_add(node.size);
                open.content.add(node).map_err(|why| FileError { line: Some(line), field, why })?;
            }
        }
        Ok(())
    }
}

impl Content {
    fn add(&mut self, node: Rc<Node>) -> Result<(), String> {
        match self {
            Self::List(items) => items.push(node),
            Self::Map { entries, seen, key, merged } => match key.take() {
                Some(name) if name.merges => merged.push(node),
                Some(name) => entries.push((name, node)),
                None => {
                    let Value::Scalar { text, plain } = &node.value else {
                        return Err("the name of a field is a list or a map".to_owned());
                    };
                    if !seen.insert(text.clone()) {
                        return Err(format!("{} occurs twice", super::shown(text)));
                    }
                    let merges = *plain && text == "<<";
                    *key = Some(Key { text: text.clone(), line: node.line, merges });
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree as one line, for comparisons.
    fn told(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, plain: true } => text.clone(),
            Value::Scalar { text, plain: false } => format!("'{text}'"),
            Value::List(items) => format!("[{}]", items.iter().map(|item| told(item)).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let entry = |(key, node): &(Key, Rc<Node>)| format!("{}={}", key.text, told(node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn tree(text: &str) -> String {
        read(text).unwrap().map_or_else(|| "nothing".to_owned(), |node| told(&node))
    }

    fn fault(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_tree_is_read_with_its_quotes() {
        assert_eq!(tree("a: yes\nb: 'yes'\nc: [1, \"2\",]\n"), "{a=yes b='yes' c=[1 '2']}");
        assert_eq!(tree("{\"a\": {\"b\": null}}"), "{a={b=null}}");
        assert_eq!(tree("a: !!str 0x12\nb: !!int 3\n"), "{a='0x12' b=3}");
        assert_eq!([tree(""), tree("# nothing\n"), tree("--- \n...\n")], ["nothing", "nothing", ""]);
    }

    #[test]
    fn aliases_and_merges_stand_for_what_they_name() {
        assert_eq!(tree("a: &x [1]\nb: *x\n"), "{a=[1] b=[1]}");
        assert_eq!(tree("- &b {x: 1, y: 2}\n- {<<: *b, y: 3}\n"), "[{x=1 y=2} {y=3 x=1}]");
        assert_eq!(tree("- &b {x: 1}\n- &c {y: 2}\n- {<<: [*b, *c]}\n"), "[{x=1} {y=2} {x=1 y=2}]");
        assert_eq!(tree("'<<': {x: 1}\n"), "{<<={x=1}}", "in quotes it is a name");
        assert!(fault("a: &x [1]\nb: {<<: *x}\n").contains("<< merges a map"));
        assert!(fault("a: &x [*x]").contains("a value that contains it"));
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_field() {
        assert_eq!(fault("a:\n- b: 1\n- b: 1\n  b: 2\n"), "line 4: a[1]: b occurs twice");
        assert_eq!(fault("a: 1\n---\nb: 2\n"), "line 2: a second document begins here");
        assert_eq!(fault("a: !secret 1\n"), "line 1: a: the tag !secret is not allowed here");
        assert!(fault("a: [1\n").starts_with("line 2: this is not valid YAML"), "{}", fault("a: [1\n"));
        assert!(fault("? [a]\n: 1\n").contains("name of a field"));
    }

    #[test]
    fn nothing_grows_without_bound() {
        let deep = format!("a: {}{}", "[".repeat(3000), "]".repeat(3000));
        assert_eq!(fault(&deep), "line 1: a: values are nested deeper than 32 levels".replace("a: v", "v"));
        assert!(fault(&"- ".repeat(40)).contains("deeper than 32"));
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let said = fault(&bomb);
        assert!(said.starts_with("line ") && said.contains("aliases") && said.contains("100000 values"), "{said}");
        assert!(fault(&"- x\n".repeat(110_000)).contains("the file has more than 100000 values"));
        assert!(fault(&" ".repeat(MOST_BYTES + 1)).contains("1048577 bytes"));
    }
}
