"""The ports of `quintet.replay` on AWS, over boto3 clients with the credentials of a person."""
