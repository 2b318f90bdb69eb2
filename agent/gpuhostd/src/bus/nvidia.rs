//! `org.gpuhost.Agent1.NvidiaContainer`.

use super::failure::Refused;
use super::options::{Options, Parser, invalid};
use super::submit::Submitter;
use engine::command::Command;
use model::nvidia_container::{NvidiaImage, NvidiaRole};
use model::settings::HostSetting;
use wire::dbus::NVIDIA_CONTAINER_INTERFACE;
use zbus::OwnedObjectPath;
use zbus::message::Header;

/// Longer than any reference that Docker takes, with its digest.
const IMAGE_MAX_BYTES: usize = 512;

type Result<T> = std::result::Result<T, Refused>;

/// The methods of one of NVIDIA's containers.
#[derive(Debug)]
pub(super) struct NvidiaMethods {
    /// Which one.
    pub(super) role: NvidiaRole,
    /// The way to the core.
    pub(super) submitter: Submitter,
}

const fn deploy(role: NvidiaRole, wished: bool) -> HostSetting {
    match role {
        NvidiaRole::Driver => HostSetting::DeployDriver(Some(wished)),
        NvidiaRole::Toolkit => HostSetting::DeployToolkit(Some(wished)),
    }
}

const fn image(role: NvidiaRole, image: NvidiaImage) -> HostSetting {
    match role {
        NvidiaRole::Driver => HostSetting::DriverImage(Some(image)),
        NvidiaRole::Toolkit => HostSetting::ToolkitImage(Some(image)),
    }
}

#[zbus::interface(name = "org.gpuhost.Agent1.NvidiaContainer")]
impl NvidiaMethods {
    /// Wishes it, over the configuration files and until Disable: it is deployed, or brought to the image that is named. The job ends
    /// when the wish is on disk; Phase shows how far it is. Nothing is stopped or replaced under a process that uses the driver.
    /// Action: org.gpuhost.agent1.nvidia-containers. Options: image (s: REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:DIGEST; the one that
    /// is configured if left out), auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn enable(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let mut parser = Parser::new(options);
        let named = parser.text("image", IMAGE_MAX_BYTES)?;
        let plain = parser.finish()?;
        let named = named.map(|text| text.parse::<NvidiaImage>().map_err(|fault| invalid("image", fault.to_string())));
        let named = named.transpose()?;
        let shown = named.as_ref().map(|named| named.image().to_string()).unwrap_or_default();
        let details = [("role", self.role.code()), ("image", shown.as_str())];
        let admission =
            self.submitter.gate.admit(&header, NVIDIA_CONTAINER_INTERFACE, "Enable", plain, &details).await?;
        let mut settings = vec![deploy(self.role, true)];
        settings.extend(named.map(|named| image(self.role, named)));
        self.submitter.submit(admission.authorize(Command::Configure(settings))?).await
    }

    /// Wishes it no more, over the configuration files: it is stopped and removed as soon as no process uses it. Programs that the
    /// toolkit container has installed stay. Action: org.gpuhost.agent1.nvidia-containers. Options: auth.no-user-interaction (b).
    #[zbus(out_args("job"))]
    async fn disable(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath> {
        let plain = Parser::new(options).finish()?;
        let details = [("role", self.role.code())];
        let admission =
            self.submitter.gate.admit(&header, NVIDIA_CONTAINER_INTERFACE, "Disable", plain, &details).await?;
        self.submitter.submit(admission.authorize(Command::Configure(vec![deploy(self.role, false)]))?).await
    }
}
