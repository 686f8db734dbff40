package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBucket(t *testing.T) {
	for text, want := range map[string]Bucket{
		"s3://logs":                                          {Name: "logs", Region: "us-east-1"},
		"s3://logs/":                                         {Name: "logs", Region: "us-east-1"},
		"s3://logs/dls/acme/":                                {Name: "logs", Prefix: "dls/acme", Region: "us-east-1"},
		"s3://logs/dls?region=eu-central-1":                  {Name: "logs", Prefix: "dls", Region: "eu-central-1"},
		"s3://logs/dls?endpoint=minio.example.com":           {Name: "logs", Prefix: "dls", Region: "us-east-1", Endpoint: "minio.example.com"},
		"s3://logs/dls?endpoint=https://minio.example.com/":  {Name: "logs", Prefix: "dls", Region: "us-east-1", Endpoint: "minio.example.com"},
		"s3://logs/dls?region=x&endpoint=https://[::1]:9000": {Name: "logs", Prefix: "dls", Region: "x", Endpoint: "[::1]:9000"},
		"s3://logs/a?endpoint=http://minio:9000&plaintext=true": {
			Name: "logs", Prefix: "a", Region: "us-east-1", Endpoint: "minio:9000", Plaintext: true},
	} {
		got, rule, hint := bucket(text, func(string) string { return "" })
		if got == nil {
			t.Errorf("%s: %s (%s)", text, rule, hint)
		} else if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	region := func(name string) string { return map[string]string{"AWS_DEFAULT_REGION": "eu-west-1"}[name] }
	if got, _, _ := bucket("s3://logs/x", region); got == nil || got.Region != "eu-west-1" {
		t.Errorf("%+v, want the environment's region", got)
	}
	for text, want := range map[string]string{
		"s3://":                                         "names no bucket: its name has 3 to 63 small letters, digits, dots and hyphens",
		"s3://Logs/x":                                   "names no bucket: its name has 3 to 63 small letters, digits, dots and hyphens",
		"s3://logs/a//b":                                "has a prefix that is none: letters, digits, _ . = - and single slashes make one up",
		"s3://logs/a/../b":                              "has a prefix that is none: letters, digits, _ . = - and single slashes make one up",
		"s3://logs/a b":                                 "has a prefix that is none: letters, digits, _ . = - and single slashes make one up",
		"s3://logs/a#b":                                 "must have the form s3://bucket/prefix?region=…&endpoint=…",
		"s3://logs/a?regoin=x":                          `has an unknown parameter "regoin"`,
		"s3://logs/a?region=":                           "must give region one value",
		"s3://logs/a?region=x&region":                   "must give region one value",
		"s3://logs/a?region=a/b":                        "has a region that is none",
		"s3://logs/a?plaintext=maybe":                   "has a plaintext that is neither true nor false",
		"s3://logs/a?plaintext=true":                    "says plaintext=true, and its endpoint does not begin with http://",
		"s3://logs/a?endpoint=http://minio:9000":        "has an endpoint without TLS",
		"s3://logs/a?endpoint=ftp://minio":              "has an endpoint that is none: https://HOST or https://HOST:PORT",
		"s3://logs/a?endpoint=https://minio/path":       "has an endpoint that is none: https://HOST or https://HOST:PORT",
		"s3://logs/a?endpoint=https://user:pw@minio:90": "has an endpoint that is none: https://HOST or https://HOST:PORT",
	} {
		if got, rule, _ := bucket(text, func(string) string { return "" }); got != nil || rule != want {
			t.Errorf("%s: %+v, %q, want %q", text, got, rule, want)
		}
	}
}
