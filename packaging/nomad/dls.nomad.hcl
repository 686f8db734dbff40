# Nomad: an example, not run here; CI reads it and nothing more.
job "dls" {
  type = "batch"

  periodic {
    crons            = ["*/10 * * * *"]
    prohibit_overlap = true
  }

  group "dls" {
    # A run that failed is seen; what it did not deliver, the next one does.
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }

    volume "state" {
      type            = "csi"
      source          = "dls-state"
      attachment_mode = "file-system"
      access_mode     = "single-node-writer"
    }

    task "dls" {
      driver       = "docker"
      user         = "65532:65532"
      kill_timeout = "30s"

      config {
        image           = "registry.example.com/dls:1.0.0"
        args            = ["sync", "--verbose", "--max-runtime", "50m", "/local/config.yml"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        mount {
          type   = "tmpfs"
          target = "/tmp"
        }
      }

      # config.yml, without the secret key, from where this file lies.
      template {
        data        = file("config.yml")
        destination = "local/config.yml"
      }

      template {
        data        = "DLS_SKEY={{ with nomadVar \"nomad/jobs/dls\" }}{{ .skey }}{{ end }}"
        destination = "secrets/dls.env"
        env         = true
      }

      volume_mount {
        volume      = "state"
        destination = "/var/lib/dls"
      }

      resources {
        cpu        = 100
        memory     = 64
        memory_max = 256
      }
    }
  }
}
