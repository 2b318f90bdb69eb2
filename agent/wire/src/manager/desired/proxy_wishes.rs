//! The section `proxy`: certificate and key of the workspace proxy. No message repeats any of them.

use super::document_reader::Reader;
use super::json_node::Node;
use model::desired::{Desired, DesiredProxy, WishText};

/// Longest name of a server.
const NAME_MOST_BYTES: usize = 253;

pub(super) fn read<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> DesiredProxy {
    let mut proxy = DesiredProxy::default();
    if node.is_null() {
        return proxy;
    }
    reader.object(node, |reader, name, value| match name {
        "nginx_cert" => proxy.cert = pem(reader, value),
        "nginx_key" => proxy.key = pem(reader, value),
        "server_name" => {
            proxy.server_name = reader.wish_text(value, |text| {
                let fits = text.len() <= NAME_MOST_BYTES && !text.chars().any(char::is_control);
                if fits { Ok(text.to_owned()) } else { Err("expected the name of a server".to_owned()) }
            });
        }
        _ => reader.unknown(value),
    });
    proxy
}

fn pem<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<WishText> {
    if node.is_null() {
        return Desired::LocalDefault;
    }
    reader.text(node).map_or(Desired::Absent, |text| Desired::Value(WishText::new(&text)))
}
