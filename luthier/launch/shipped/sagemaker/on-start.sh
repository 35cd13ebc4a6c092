#!/bin/bash
# A lifecycle script for SageMaker: gives a Studio space or a notebook instance a Jupyter kernel named luthier.
#
# SageMaker ends such a script after 5 minutes, and refuses one of more than 16,384 bytes. So this one only starts the
# work, which goes on behind it. The log says when it is done: ~/.luthier-kernel/log.
#
# LUTHIER_FROM: what pip installs, by default luthier from its index; a wheel, a folder or a git address works too.
set -eu

umask 022
# On a notebook instance the script runs as root, and only ~ec2-user/SageMaker is kept when the machine stops.
if [ -d /home/ec2-user/SageMaker ]; then
    home=/home/ec2-user/SageMaker
else
    home=${HOME:-/home/sagemaker-user}
fi
folder=$home/.luthier-kernel
mkdir -p "$folder"

cat > "$folder/install.sh" <<'INSTALL'
#!/bin/bash
set -eu
folder=$1
python=$folder/environment/bin/python
if [ ! -x "$python" ] || ! "$python" -m luthier --version; then
    rm -rf "$folder/environment"
    # The image's torch is used where luthier can use it; its transformers is older than what luthier needs.
    python3 -m venv --system-site-packages "$folder/environment"
    "$python" -m pip install --disable-pip-version-check "${LUTHIER_FROM:-luthier[course,serve]}"
fi
"$python" -m luthier kernel
echo "the kernel is there"
INSTALL

user=env
if [ "$(id -u)" = 0 ] && [ -d /home/ec2-user ]; then
    chown -R ec2-user "$folder"
    user="sudo -u ec2-user -H --preserve-env=LUTHIER_FROM"
fi
# Without streams of this script, whose end would be waited for. $user is several words.
# shellcheck disable=SC2086
nohup $user bash "$folder/install.sh" "$folder" > "$folder/log" 2>&1 < /dev/null &
echo "luthier's kernel is being installed; see $folder/log"
