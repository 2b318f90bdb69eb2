//! The heartbeat: who reports, what the manager keeps of it, and what it says back.

use crate::agents::Beat;
use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::desired::version_of;
use crate::desk::Desk;
use crate::endpoint::Endpoint;
use serde_json::{Value, json};

/// Takes a heartbeat.
pub(crate) fn heartbeat(desk: &Desk, call: &Call) -> Result<Answer, Refused> {
    desk.authenticate(call)?;
    let beat = Beat {
        boot_id: call.text("/boot_id").unwrap_or_default(),
        seq: call.body.get("seq").and_then(Value::as_u64).unwrap_or_default(),
        inventory_rev: call.text("/inventory_rev").unwrap_or_default(),
        has_inventory: call.body.get("inventory").is_some_and(Value::is_object),
    };
    let hostname = call.text("/hostname");
    let need_inventory = desk.fleet.agents(|agents| agents.beat(call.server_id(), hostname, &beat))?;
    let mut reply = json!({
        "message": "ok",
        "server_time": desk.now_text(),
        "next_heartbeat_s": desk.next_heartbeat_s,
        "enabled": true,
        "need_inventory": need_inventory,
        "rotate_credential": false,
    });
    add_desired(desk, &mut reply);
    desk.change_reply(&mut reply);
    Ok(Answer::json(200, &reply))
}

/// Tells the newest revision; the whole document where the agent has no other way to it.
fn add_desired(desk: &Desk, reply: &mut Value) {
    let document = desk.desired.borrow().clone();
    let (Some(document), Some(fields)) = (document, reply.as_object_mut()) else { return };
    let (epoch, revision) = version_of(&document);
    fields.insert("desired".to_owned(), json!({ "epoch": epoch, "revision": revision }));
    if !desk.paths.contains(&Endpoint::DesiredState) {
        fields.insert("desired_state".to_owned(), document);
    }
}
