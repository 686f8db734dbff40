package buckettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Gateway is a running S3-compatible server with an empty bucket.
type Gateway struct {
	// Endpoint is its host and port, Bucket the bucket.
	Endpoint, Bucket string
	// CAPEM is what its certificate comes from, Plaintext that it has none.
	CAPEM     []byte
	Plaintext bool
}

// AccessKey and SecretKey are the gateway's credentials.
const AccessKey, SecretKey = "not-a-key", "not-a-secret"

// Program is a real server that tests can start. .ci/steps/bucket builds those whose
// modules are in state/storetest.
type Program struct {
	// Name names it.
	Name string
	// Env is the environment's variable with its path.
	Env string

	plaintext bool
	args      func(s setting) []string
}

// setting is what a server is started with.
type setting struct{ endpoint, bucket, root, cert, key string }

// Programs are the servers that tests run against.
var Programs = []Program{
	{Name: "versitygw", Env: "DLS_VERSITYGW", args: func(s setting) []string {
		return []string{"--port", s.endpoint, "--access", AccessKey, "--secret", SecretKey, "--cert", s.cert, "--key", s.key, "--quiet", "--keep-alive", "posix", s.root}
	}},
	{Name: "gofakes3", Env: "DLS_GOFAKES3", plaintext: true, args: func(s setting) []string {
		return []string{"-backend", "memory", "-host", s.endpoint}
	}},
	{Name: "seaweedfs", Env: "DLS_SEAWEEDFS", plaintext: true, args: func(s setting) []string {
		args := []string{"server", "-dir", s.root, "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-master.telemetry=false", "-s3", "-s3.autoCreateBucket=false", "-s3.port.iceberg", "0"}
		_, first, _ := net.SplitHostPort(s.endpoint)
		port, _ := strconv.Atoi(first) // it was listened on
		for i, name := range []string{"s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"} {
			args = append(args, "-"+name, strconv.Itoa(port+i))
		}
		return args
	}},
}

// Start starts the server on the loopback for the time of the test. It skips the test
// where there is none.
func (p Program) Start(t testing.TB) *Gateway {
	t.Helper()
	program := os.Getenv(p.Env)
	if program == "" {
		t.Skipf("no %s: $%s is not set; .ci/steps/bucket builds it", p.Name, p.Env)
	}
	dir := t.TempDir()
	g := &Gateway{Bucket: "logs", Plaintext: p.plaintext}
	s := setting{bucket: g.Bucket, root: filepath.Join(dir, "root")}
	if !p.plaintext {
		s.cert, s.key = g.certificate(t, dir)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Endpoint = free.Addr().String()
	free.Close()
	s.endpoint = g.Endpoint
	if err := os.Mkdir(s.root, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, p.args(s)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+AccessKey, "AWS_SECRET_ACCESS_KEY="+SecretKey)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(g.CAPEM)
	defer transport.CloseIdleConnections()
	client, err := minio.New(g.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Secure: !g.Plaintext, Region: "us-east-1", Transport: transport})
	if err == nil {
		err = client.MakeBucket(t.Context(), g.Bucket, minio.MakeBucketOptions{Region: "us-east-1"}) // it tries again until the gateway answers
	}
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("start %s: %v\n%s", program, err, said)
	}
	return g
}

// certificate makes the gateway's certificate, and returns its files.
func (g *Gateway) certificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &pair.PublicKey, pair)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	g.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, data := range map[string][]byte{cert: g.CAPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
