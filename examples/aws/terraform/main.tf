# Events of Secrets Manager for keyferry: rules, one queue for each cluster, and the operator's rights.
# For the region of the entries; apply it once for each region that has some.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  # A rule has five targets at most: beyond that it sends to a topic, and the topic to the queues.
  direct = length(var.clusters) <= 5

  # Secrets Manager's own event: a staging label went to another version. Always on, no trail needed. To leave out
  # labels of your own, add "labelUpdated": ["AWSCURRENT"] to the detail.
  changes = <<-JSON
    {
      "source": ["aws.secretsmanager"],
      "detail-type": ["Secret Label Updated"],
      "detail": {
        "name": [{"prefix": ${jsonencode(var.name_prefix)}}]
      }
    }
  JSON

  # Calls that CloudTrail saw. The native event is not sent for deletions; without this they are seen by polling. No
  # prefix here: callers type names or ARNs as they like.
  calls = <<-JSON
    {
      "source": ["aws.secretsmanager"],
      "detail-type": ["AWS API Call via CloudTrail"],
      "detail": {
        "eventSource": ["secretsmanager.amazonaws.com"],
        "eventName": [
          "CreateSecret", "DeleteSecret", "PutSecretValue", "RestoreSecret", "UpdateSecret", "UpdateSecretVersionStage"
        ],
        "errorCode": [{"exists": false}]
      }
    }
  JSON

  rules    = merge({ changes = local.changes }, var.cloudtrail ? { calls = local.calls } : {})
  deliver  = local.direct ? { for pair in setproduct(keys(local.rules), var.clusters) : join("/", pair) => pair } : {}
  read_arn = "arn:${data.aws_partition.this.partition}:secretsmanager:${data.aws_region.this.id}:${data.aws_caller_identity.this.account_id}:secret:${var.name_prefix}*"
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each      = local.rules
  name          = "keyferry-${each.key}"
  description   = "Entries of Secrets Manager that changed, for keyferry"
  event_pattern = each.value
}

resource "aws_sqs_queue" "this" {
  for_each = var.clusters
  name     = "keyferry-${each.key}"

  # SSE-SQS. With a KMS key instead (kms_master_key_id) it must be a customer managed one whose policy lets the sender
  # (events.amazonaws.com, or sns.amazonaws.com behind a topic) use kms:GenerateDataKey and kms:Decrypt, and the operator's
  # role kms:Decrypt. alias/aws/sqs does not work: its policy cannot be changed.
  sqs_managed_sse_enabled = true

  # An hour: what is older has been found by polling. No dead letters: keyferry deletes what it cannot use.
  message_retention_seconds  = 3600
  visibility_timeout_seconds = 60
  receive_wait_time_seconds  = 20
}

# Up to five clusters: rules send to the queues.
resource "aws_cloudwatch_event_target" "queue" {
  for_each = local.deliver
  rule     = aws_cloudwatch_event_rule.this[each.value[0]].name
  arn      = aws_sqs_queue.this[each.value[1]].arn
}

# More: rules send to a topic.
resource "aws_sns_topic" "this" {
  count = local.direct ? 0 : 1
  name  = "keyferry"
}

resource "aws_cloudwatch_event_target" "topic" {
  for_each = local.direct ? {} : local.rules
  rule     = aws_cloudwatch_event_rule.this[each.key].name
  arn      = aws_sns_topic.this[0].arn
}

resource "aws_sns_topic_subscription" "this" {
  for_each             = local.direct ? toset([]) : var.clusters
  topic_arn            = aws_sns_topic.this[0].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this[each.key].arn
  raw_message_delivery = true
}

# Any rule of EventBridge may send: a message is a hint, a stranger's would cost a read at most.
data "aws_iam_policy_document" "topic" {
  count = local.direct ? 0 : 1
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this[0].arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  count  = local.direct ? 0 : 1
  arn    = aws_sns_topic.this[0].arn
  policy = data.aws_iam_policy_document.topic[0].json
}

data "aws_iam_policy_document" "queue" {
  for_each = var.clusters
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.this[each.key].arn]
    principals {
      type        = "Service"
      identifiers = [local.direct ? "events.amazonaws.com" : "sns.amazonaws.com"]
    }
    # Only these rules, or this topic: whoever may send could cause reads.
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = local.direct ? [for rule in aws_cloudwatch_event_rule.this : rule.arn] : [aws_sns_topic.this[0].arn]
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  for_each  = var.clusters
  queue_url = aws_sqs_queue.this[each.key].id
  policy    = data.aws_iam_policy_document.queue[each.key].json
}

# The rights of the operator's role, for each cluster.
data "aws_iam_policy_document" "operator" {
  for_each = var.clusters
  statement {
    sid       = "Events"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.this[each.key].arn]
  }
  statement {
    sid       = "Reads"
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [local.read_arn]
  }
  # IAM knows these two on all entries only. The first gives no value by itself; both may be left out at a price in calls.
  statement {
    sid       = "Batches"
    actions   = ["secretsmanager:BatchGetSecretValue", "secretsmanager:ListSecrets"]
    resources = ["*"]
  }
  dynamic "statement" {
    for_each = length(var.kms_key_arns) > 0 ? [1] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = var.kms_key_arns
    }
  }
}

resource "aws_iam_policy" "operator" {
  for_each    = var.clusters
  name        = "keyferry-${each.key}-${data.aws_region.this.id}"
  description = "What keyferry in ${each.key} may do"
  policy      = data.aws_iam_policy_document.operator[each.key].json
}
