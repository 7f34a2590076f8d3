variable "clusters" {
  description = "Names of the clusters that run keyferry. Each gets a queue of its own: a message is seen by one consumer only."
  type        = set(string)

  validation {
    condition     = length(var.clusters) > 0 && alltrue([for name in var.clusters : can(regex("^[A-Za-z0-9_-]{1,60}$", name))])
    error_message = "One name at least, of letters, digits, - and _: they become part of the names of queues."
  }
}

variable "name_prefix" {
  description = "Beginning of the names of the entries that matter; empty: all. Narrows the native events and the reads."
  type        = string
  default     = ""
}

variable "cloudtrail" {
  description = "Also send the calls that CloudTrail saw. Needs a trail that logs management events; adds deletions and restorations."
  type        = bool
  default     = false
}

variable "kms_key_arns" {
  description = "Customer managed keys of the entries; those under aws/secretsmanager need nothing."
  type        = list(string)
  default     = []
}
