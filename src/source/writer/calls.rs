//! The calls, with plain types in and out.

use aws_sdk_secretsmanager::types::{ReplicaRegionType, Tag};

use super::{LABEL, NewEntry};
use crate::{
    core::{Entry, VersionSelector},
    source::{
        bucket::Lane, calls::Calls, failure::Failure, metrics::Operation, replies::Described,
    },
};

impl Calls {
    pub(super) async fn read(
        &self,
        entry: &str,
        version: &VersionSelector,
    ) -> Result<Entry, Failure> {
        self.get(entry, version, Lane::Urgent).await
    }

    pub(super) async fn labelled(&self, entry: &str) -> Result<Described, Failure> {
        self.describe(entry, Lane::Urgent).await
    }

    pub(super) async fn create(
        &self,
        entry: &str,
        version: &str,
        text: &str,
        new: &NewEntry,
    ) -> Result<(), Failure> {
        let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
        let tags: Vec<Tag> = new.tags.iter().map(tag).collect();
        let replica = |region: &String| ReplicaRegionType::builder().region(region).build();
        let replicas: Vec<_> = new.replica_regions.iter().map(replica).collect();
        self.write(Operation::CreateSecret, |client| {
            let call = client.create_secret().name(entry);
            let call = call.client_request_token(version).secret_string(text);
            call.set_kms_key_id(new.kms_key.clone())
                .set_tags((!tags.is_empty()).then(|| tags.clone()))
                .set_add_replica_regions((!replicas.is_empty()).then(|| replicas.clone()))
                .send()
        })
        .await
        .map(|_| ())
    }

    /// A version under our label; gives back the labels it has.
    pub(super) async fn put(
        &self,
        entry: &str,
        version: &str,
        text: &str,
    ) -> Result<Vec<String>, Failure> {
        let reply = self.write(Operation::PutSecretValue, |client| {
            let call = client.put_secret_value().secret_id(entry);
            let call = call.client_request_token(version).secret_string(text);
            call.version_stages(LABEL).send()
        });
        Ok(reply.await?.version_stages.unwrap_or_default())
    }

    /// A version that is the current one at once.
    pub(super) async fn update(
        &self,
        entry: &str,
        version: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let reply = self.write(Operation::UpdateSecret, |client| {
            let call = client.update_secret().secret_id(entry);
            let call = call.client_request_token(version).secret_string(text);
            call.send()
        });
        reply.await.map(|_| ())
    }

    /// Moves a label from one version to another, or takes it off.
    pub(super) async fn move_label(
        &self,
        entry: &str,
        label: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<(), Failure> {
        let reply = self.write(Operation::UpdateSecretVersionStage, |client| {
            let call = client.update_secret_version_stage().secret_id(entry);
            call.version_stage(label)
                .set_remove_from_version_id(from.map(str::to_owned))
                .set_move_to_version_id(to.map(str::to_owned))
                .send()
        });
        reply.await.map(|_| ())
    }
}
