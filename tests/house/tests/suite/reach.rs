//! What a package may reach: processes, files, listeners and timers, seen through imports and inside macros.

use house::paths::{self, Named};
use house::product::{Placed, product_sources};
use house::rules::{EXCEPTIONS, Exception, FLOORS, REACHES, Reach};
use house::source::Source;
use std::path::Path;
use syn::visit::{self, Visit};

/// One path that a file of the product names against a rule.
struct Breach {
    file: String,
    named: Named,
    why: &'static str,
}

fn breaches(package: &str, file: &Path, source: &Source) -> Vec<Breach> {
    let named = paths::named(source);
    let against = |reach: &Reach, n: &Named| reach.paths.iter().any(|prefix| paths::reaches(&n.path, prefix));
    let mut found = Vec::new();
    for reach in REACHES.iter().filter(|reach| reach.held.holds(package)) {
        for named in named.iter().filter(|n| against(reach, n)) {
            let file = file.display().to_string();
            found.push(Breach { file, named: named.clone(), why: reach.why });
        }
    }
    found
}

fn excepts(exception: &Exception, breach: &Breach) -> bool {
    exception.file == breach.file && paths::reaches(&breach.named.path, exception.path)
}

#[test]
fn nobody_reaches_further_than_it_may() {
    let sources = product_sources();
    assert!(sources.len() >= FLOORS.len(), "each package has a source");
    let of = |placed: &Placed| breaches(placed.package.as_deref().unwrap_or_default(), &placed.file, &placed.source);
    let all: Vec<Breach> = sources.iter().flat_map(of).collect();
    let open = all.iter().filter(|breach| !EXCEPTIONS.iter().any(|e| excepts(e, breach)));
    let lines: Vec<_> = open.map(|b| format!("{}:{}: {}: {}", b.file, b.named.line, b.named.path, b.why)).collect();
    assert!(lines.is_empty(), "{}\n(an exception needs a reason, in tests/house/src/rules.rs)", lines.join("\n"));
    for exception in &EXCEPTIONS {
        let needed = all.iter().any(|breach| excepts(exception, breach));
        assert!(needed, "{} no longer names {} ({})", exception.file, exception.path, exception.why);
    }
}

#[test]
fn a_breach_is_seen() {
    let source = |text: &str| Source::parse("sample", format!("//! x\n{text}"));
    let starts = source("use std::process::Command; fn f() { Command::new(\"x\"); }");
    let writes = source("fn f() { tokio::join!(tokio::fs::write(a, b)); }");
    let front = source("use host::front::sysfs; use std::process::ExitCode;");
    let count = |package: &str, source: &Source| breaches(package, Path::new("x.rs"), source).len();
    assert!(count("gpuhostd", &starts) > 0 && count("hands", &starts) > 0);
    assert_eq!(count("spawn", &starts), 0);
    assert!(count("host", &starts) > 0 && count("acts", &writes) > 0);
    assert!(count("engine", &writes) > 0);
    assert_eq!(count("gpuhostd", &front), 0);
}

/// Methods of bus objects that would lock out every reader while they run.
struct BusMethods(Vec<String>);

impl<'ast> Visit<'ast> for BusMethods {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let on_the_bus = item.attrs.iter().any(|a| a.path().segments.last().is_some_and(|s| s.ident == "interface"));
        for method in item.items.iter().filter(|_| on_the_bus) {
            let syn::ImplItem::Fn(method) = method else { continue };
            let Some(receiver) = method.sig.receiver() else { continue };
            if receiver.mutability.is_some() {
                self.0.push(method.sig.ident.to_string());
            }
        }
        visit::visit_item_impl(self, item);
    }
}

#[test]
fn bus_objects_take_a_shared_self() {
    for placed in product_sources() {
        let mut found = BusMethods(Vec::new());
        found.visit_file(&placed.source.product_file());
        assert!(
            found.0.is_empty(),
            "{}: &mut self on the bus blocks all readers: {:?}",
            placed.file.display(),
            found.0
        );
    }
}

#[test]
fn a_mutable_bus_method_is_seen() {
    let text = "//! x\n#[zbus::interface(name = \"a.b\")]\nimpl A { fn a(&self) {} fn b(&mut self) {} }";
    let mut found = BusMethods(Vec::new());
    found.visit_file(&Source::parse("sample", text.to_owned()).product_file());
    assert_eq!(found.0, ["b"]);
}
