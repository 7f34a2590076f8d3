output "queue_urls" {
  description = "By cluster: the chart's value events.queueUrl."
  value       = { for name, queue in aws_sqs_queue.this : name => queue.url }
}

output "operator_policy_arns" {
  description = "By cluster: the policy to attach to the operator's role."
  value       = { for name, policy in aws_iam_policy.operator : name => policy.arn }
}
