"""The ports of `quintet.replay` on AWS; SQS and Kinesis by boto3, with a person's credentials."""
