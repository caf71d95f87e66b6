"""AWS adapters of `quintet.replay`; SQS and Kinesis use boto3, with an operator's credentials."""
