package config

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bucket is an S3-compatible bucket that keeps the checkpoints.
type Bucket struct {
	// Name and Prefix are the bucket's name and where in it the objects are; Prefix has
	// no slash at its ends and may be empty.
	Name, Prefix string
	// Region is the bucket's, us-east-1 where nothing says another.
	Region string
	// Endpoint is the store's host, with its port where that is another than the
	// protocol's; "" is Amazon's of the region.
	Endpoint string
	// Plaintext has no TLS used.
	Plaintext bool
	// CAFile is the file with the certificates that the store's must come from; "": the
	// system's.
	CAFile string
}

// String returns the bucket and the prefix as messages have them.
func (b *Bucket) String() string {
	return strings.TrimSuffix("s3://"+b.Name+"/"+b.Prefix, "/")
}

// bucketScheme is what a directory begins with that is a bucket.
const bucketScheme = "s3://"

var (
	bucketName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	bucketPrefix = regexp.MustCompile(`^[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*$`)
	regionName   = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)
)

// bucketKeys are what may stand behind the question mark.
var bucketKeys = []string{"endpoint", "plaintext", "region"}

// bucket reads a directory that is a bucket, or returns what is wrong with it.
func bucket(text string, getenv func(string) string) (b *Bucket, rule, hint string) {
	const form = "s3://bucket/prefix?region=…&endpoint=…"
	u, err := url.Parse(text)
	if err != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, "must have the form " + form, ""
	}
	b = &Bucket{Name: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if !bucketName.MatchString(b.Name) {
		return nil, "names no bucket: its name has 3 to 63 small letters, digits, dots and hyphens", "the form is " + form
	}
	if b.Prefix != "" && !bucketPrefix.MatchString(b.Prefix) || slices.Contains(strings.Split(b.Prefix, "/"), "..") {
		return nil, "has a prefix that is none: letters, digits, _ . = - and single slashes make one up", ""
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, "must have the form " + form, ""
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(bucketKeys, key) {
			return nil, fmt.Sprintf("has an unknown parameter %q", key), unknownName(key, bucketKeys)
		}
		if len(query[key]) > 1 || query.Get(key) == "" {
			return nil, fmt.Sprintf("must give %s one value", key), ""
		}
	}
	if b.Plaintext, err = strconv.ParseBool(query.Get("plaintext")); err != nil && query.Has("plaintext") {
		return nil, "has a plaintext that is neither true nor false", ""
	}
	b.Region = query.Get("region")
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if b.Region == "" {
			b.Region = getenv(name)
		}
	}
	if b.Region == "" {
		b.Region = "us-east-1"
	}
	if !regionName.MatchString(b.Region) {
		return nil, "has a region that is none", ""
	}
	endpoint := query.Get("endpoint")
	scheme, host, cut := strings.Cut(endpoint, "://")
	if !cut {
		scheme, host = "https", endpoint
	}
	host = strings.TrimSuffix(host, "/")
	switch {
	case scheme != "https" && scheme != "http" || endpoint != "" && !isEndpoint(host):
		return nil, "has an endpoint that is none: https://HOST or https://HOST:PORT", ""
	case scheme == "http" && !b.Plaintext:
		return nil, "has an endpoint without TLS", "let it begin with https://; where the network may see and change checkpoints, add &plaintext=true"
	case cut && scheme == "https" && b.Plaintext, endpoint == "" && b.Plaintext:
		return nil, "says plaintext=true, and its endpoint does not begin with http://", ""
	}
	b.Endpoint = host
	return b, "", ""
}

// isEndpoint tells whether a text is a host, with or without a port.
func isEndpoint(s string) bool {
	if host, _, ok := cutPort(s); ok {
		return isHost(strings.Trim(host, "[]"))
	}
	return isHost(strings.Trim(s, "[]"))
}
