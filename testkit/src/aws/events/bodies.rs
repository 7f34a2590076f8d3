//! The JSON of events, as EventBridge and SNS put it into a queue.

use serde_json::{Value, json};

use super::super::random_uuid;
use super::super::store::partition_of;
use super::super::sts::whole_seconds;
use super::{Change, parameters};

/// `Secret Label Updated`.
pub(super) fn native(change: &Change<'_>, name: &str, label: &str, version: &str) -> Value {
    let mut event = envelope(change, "Secret Label Updated");
    event["resources"] = json!([change.arn]);
    event["detail"] = json!({
        "name": name, "labelUpdated": label, "versionId": version,
    });
    event
}

/// `AWS API Call via CloudTrail`; a refused call has an error and no response.
pub(super) fn cloudtrail(change: &Change<'_>, old_arn_key: bool) -> Value {
    let call = change.call;
    let time = whole_seconds(change.now);
    let who = call.principal;
    let identity = match who.is_session {
        true => "AssumedRole",
        false if who.arn.ends_with(":root") => "Root",
        false => "IAMUser",
    };
    let mut detail = json!({
        "eventVersion": "1.09",
        "userIdentity": {
            "type": identity,
            "arn": who.arn,
            "accountId": who.account,
            "principalId": who.user_id,
        },
        "eventTime": time,
        "eventSource": "secretsmanager.amazonaws.com",
        "eventName": call.operation,
        "awsRegion": call.region,
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "fake",
        "requestParameters": parameters(&call.request),
        "responseElements": Value::Null,
        "requestID": random_uuid(),
        "eventID": random_uuid(),
        "readOnly": false,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": change.account,
        "eventCategory": "Management",
    });
    match (change.error, change.arn) {
        (Some(error), _) => {
            // CloudTrail writes IAM's refusal without the tail.
            let code = error.code.trim_end_matches("Exception");
            let denied = code == "AccessDenied";
            detail["errorCode"] = if denied { code } else { &error.code }.into();
            detail["errorMessage"] = error.message.as_str().into();
        }
        (None, Some(arn)) => {
            let key = if old_arn_key { "aRN" } else { "arn" };
            detail["responseElements"] = json!({key: arn});
        }
        (None, None) => {}
    }
    let mut event = envelope(change, "AWS API Call via CloudTrail");
    event["detail"] = detail;
    event
}

/// The fields of every event ("Event structure" in the EventBridge reference).
fn envelope(change: &Change<'_>, detail_type: &str) -> Value {
    json!({
        "version": "0",
        "id": random_uuid(),
        "detail-type": detail_type,
        "source": "aws.secretsmanager",
        "account": change.account,
        "time": whole_seconds(change.now),
        "region": change.call.region,
        "resources": [],
    })
}

/// An event as SNS delivers it to a queue without raw delivery.
pub(super) fn in_sns(event: &Value, change: &Change<'_>) -> Value {
    let region = change.call.region;
    let partition = partition_of(region);
    let topic = format!(
        "arn:{partition}:sns:{region}:{}:secret-events",
        change.account
    );
    let base = format!("https://sns.{region}.amazonaws.com");
    json!({
        "Type": "Notification",
        "MessageId": random_uuid(),
        "TopicArn": topic,
        "Message": event.to_string(),
        "Timestamp": change.now.to_string(),
        "SignatureVersion": "1",
        "Signature": "not signed",
        "SigningCertURL": format!("{base}/SimpleNotificationService.pem"),
        "UnsubscribeURL": format!("{base}/?Action=Unsubscribe"),
    })
}
